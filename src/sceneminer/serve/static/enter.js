// A link from elsewhere comes without the session's cookie; asked for by this page itself, it does.
const answer = await fetch("/api/info");
if (answer.ok) location.reload();
