"""The sub-commands, one file each; imported when called."""
