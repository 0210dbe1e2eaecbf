"""What the papers print: the figures of every system that is rebuilt here, as data, with the conditions they were obtained under."""

from cxr_keras.papers.systems import Figure, Reported, System, Yardstick, get_system, list_systems, yardsticks

__all__ = ["Figure", "Reported", "System", "Yardstick", "get_system", "list_systems", "yardsticks"]
