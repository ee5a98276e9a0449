"""A trained model behind HTTP: a page for people, and the same answers as JSON for programs."""
