"""The API as both its sides see it: generated messages, conversions, status codes, addresses."""
