"""One card for all sessions: a process of its own draws for all of them, and runs their networks in batches.

    worker: motion -> geometry -> memory -> | card's process: steps, networks | -> memory -> picture

A worker connects for each portrait (`target`), hands over the rig once, and from then on a few hundred kB of
numbers per frame; no camera pixel is among them. What one worker does wrong costs its own connection only.
"""
