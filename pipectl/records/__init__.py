"""A request as it ran: its inputs, its answer, and what went through every call; kept in one file."""
