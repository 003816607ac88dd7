"""Where artifacts lie: what exports ask of a storage beside Django's contract, and the folder that does it.

The bucket that does it too is not imported here: it needs an extra, and STORAGES names it by its path.
"""

from exports.stores.base import Store
from exports.stores.folder import ArtifactFolder

__all__ = ["ArtifactFolder", "Store"]
