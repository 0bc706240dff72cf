"""How a measurement says that it could not be made."""
import time


class Failed(Exception):
    """A measurement that could not be made; the text says why."""


def need(condition, text):
    if not condition:
        raise Failed(text)


def until(what, seconds, name, every=0.005):
    """Wait until `what()` is true, and return what it said."""
    end = time.monotonic() + seconds
    while not (said := what()):
        need(time.monotonic() < end, f"timed out after {seconds:.0f} s: {name}")
        time.sleep(every)
    return said
