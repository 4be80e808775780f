"""Functions that run remotely: sent by value, like those that a user defines in a notebook."""

import sys

import cloudpickle

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def same(value):
    return value


def formatted(number):
    """Format a number with packages that a server has only if they were asked for."""
    import humanize
    import tabulate

    return tabulate.tabulate([[humanize.intcomma(number)]])


def print_lines(count):
    for number in range(count):
        print("line", number, "of a log that is long")


def print_forever():
    while True:
        print("and so it goes on, line after line")
