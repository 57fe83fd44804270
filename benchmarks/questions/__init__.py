"""One module a question, each with `ask(bench)`."""
