"""Event-camera perception from an ordinary video to a label."""
