"""Pages for people: one structure, the words of a language put into it, Markdown or HTML made of it."""
