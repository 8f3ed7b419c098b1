"""The web API and the page over an index: thin, local, and careful whom it answers."""
