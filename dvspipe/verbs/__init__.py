"""The public verbs: one function with a complete signature each.

A verb opens its inputs, builds its settings and calls the stage that does the work. The function `dvspipe.cut`, the
method `events.cut` and the command `dvspipe cut` are the same verb.
"""
