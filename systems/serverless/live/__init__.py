"""The platform's decisions carried out by real processes.

``gateway`` is the process that listens; inside it ``platform`` feeds the controller and ``node``
carries its actions out. ``zygote``, ``instance`` and ``loader`` are the processes it starts, and
``wire`` is how they talk.
"""
