"""The federation: messages of a run in a mailbox, the rules that say what comes next, and how updates are averaged."""
