"""The parts that know nothing of speech: errors, files, processes, YAML."""
