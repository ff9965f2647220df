"""Exit codes of work that came to its end and is not all well; what stops the work has its code with its error."""

INCOMPLETE = 3  # something was passed over, or is not whole
IN_DOUBT = 4  # guarded files lost what they held, or the application was not flushed
UNHEALTHY = 6  # the application is not well
