"""Research: data, learning, baselines, metrics. It imports the product and is never imported by it."""
