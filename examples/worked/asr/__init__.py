"""The python stages of cascade.pipe and audio.pipe."""
