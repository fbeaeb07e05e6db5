"""The python stages of detect.pipe."""
