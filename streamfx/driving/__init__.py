"""What gives Motions: a face in a video or camera, a template, a remote program."""
