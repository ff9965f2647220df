"""One file per command; a file is imported when its command is used."""
