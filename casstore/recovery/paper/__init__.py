"""Pages for people: one structure of steps and commands, words of a language put into it, Markdown or HTML made of it."""
