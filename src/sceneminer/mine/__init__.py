"""Logs in, rows out: units of work, the stage that mines one, and the executor that runs them."""
