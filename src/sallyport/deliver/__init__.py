"""Takes released images and a registry product -> gives it the images, under its names, set up as it wants it."""

from sallyport.deliver.choose import make_destination
from sallyport.deliver.deliver import deliver, plan_item, send_item
from sallyport.deliver.interface import Destination
from sallyport.deliver.model import Attachment, Delivered, Item, Made, Planned, Rename, Settings
from sallyport.deliver.rename import name_there, names_there

__all__ = [
    "Attachment",
    "Delivered",
    "Destination",
    "Item",
    "Made",
    "Planned",
    "Rename",
    "Settings",
    "deliver",
    "make_destination",
    "name_there",
    "names_there",
    "plan_item",
    "send_item",
]
