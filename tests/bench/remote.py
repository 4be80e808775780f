"""Functions that run remotely: sent by value, like those that a user defines in a notebook."""

import sys

import cloudpickle

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def same(value):
    return value


def print_lines(count):
    for number in range(count):
        print("line", number, "of a log that is long")


def print_forever():
    while True:
        print("and so it goes on, line after line")
