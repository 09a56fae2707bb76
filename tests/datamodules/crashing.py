"""Work that ends its process, as a decoder may."""

import os


def crash_at_three(number):
    if number == 3:
        os._exit(11)
    return number * 10
