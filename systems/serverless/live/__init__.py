"""The live platform: real processes carry out the controller's decisions.

``gateway`` is the process with the endpoint; in it ``platform`` sends events to the controller, and
``node`` carries out its actions. The node starts the processes of ``roles`` (``instance``,
``loader``, ``auditor`` and the template); ``messages`` are the messages between them.
"""
