"""What can be set: value types, their limits, and how people write them. Imports nothing heavy."""
