"""Output for people: tables in the terminal, and the HTML page, from the same records."""
