"""The checks, by what they are about. Each is a plain coroutine on a case, and raises Nonconformity."""
