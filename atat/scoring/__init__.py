"""From decoded folders to tables."""
