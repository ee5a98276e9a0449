"""What knows no speech: errors, files, processes, YAML."""
