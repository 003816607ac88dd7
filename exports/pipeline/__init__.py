"""The worker side of an export, one module per step: plan, render the parts, assemble them.

Each step claims its row, works under the lease, and ends with one fenced write. Losing the lease ends a step without
an error, because another worker has the row. The error's class decides whether there is another attempt.
"""
