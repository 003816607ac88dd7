"""The worker side of an export, one module a step: plan, render the parts, assemble them.

Each step claims its row, works under the lease, and ends with one fenced write. Losing the lease ends a step without
an error, because another worker has the row. The error of an attempt says itself whether there is another one.
"""
