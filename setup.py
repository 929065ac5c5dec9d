"""The packages that are installed; setup.cfg says the rest.

Each folder of minicaffe/ with an __init__.py is one, and the nets of models/ are one of them.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["minicaffe", "minicaffe.*"]), "minicaffe.models"],
      package_dir={"minicaffe.models": "models"})
