"""A look-alike of the module that protoc generates for pycaffe: ``caffe_pb2.NetParameter()``,
``caffe_pb2.PoolingParameter.MAX``, ``caffe_pb2.TRAIN``."""

from __future__ import annotations

from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

from .schema import ENUMS, MESSAGES

globals().update(MESSAGES)
for _name, _enum in ENUMS.items():
    globals()[_name] = EnumTypeWrapper(_enum)
    globals().update({value.name: value.number for value in _enum.values})

DESCRIPTOR = MESSAGES["NetParameter"].DESCRIPTOR.file
