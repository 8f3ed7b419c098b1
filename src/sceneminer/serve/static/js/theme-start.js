// Before the first paint: a theme that was chosen earlier. Not a module, so that it runs at once.
try {
  const chosen = localStorage.getItem("sceneminer.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is switched off: the system's theme it is.
}
