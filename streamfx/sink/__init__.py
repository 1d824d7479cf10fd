"""Where finished pictures go: sinks take Rendered, and nothing else."""
