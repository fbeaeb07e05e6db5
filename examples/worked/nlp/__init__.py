"""The python stages of embed.pipe."""
