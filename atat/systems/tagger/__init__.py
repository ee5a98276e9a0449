"""Two-stage baselines: a recogniser's words, tagged with intent and slots."""
