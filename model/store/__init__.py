"""Keep models in the BentoML model store: save, find, move, promote."""

from model.store.home import use_clone_store

# Here, so that no program which saves or finds a model can forget it.
use_clone_store()
