"""Names and descriptions that must reach a page as text only."""

HOSTILE_NAME = "<script>alert('name')</script>"
HOSTILE_WORDS = '"><img src=x onerror=alert(1)> & [bold]<b>words'
