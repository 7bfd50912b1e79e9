"""The first code cell of every notebook, which fetches the course where a notebook was opened in Colab."""

# Where the course can be cloned from, as https://github.com/NAME/REPOSITORY; not known yet.
ADDRESS = ""

# The first code cell of every notebook.
SETUP = f"""\
import sys

if "google.colab" in sys.modules:  # elsewhere the course is installed already
    import os

    address = os.environ.get("TDT4265_REPOSITORY", "{ADDRESS}")  # where to clone the course from
    if not os.path.isdir("/content/tdt4265-course"):
        assert address, "put the address of a copy of the course, https://..., into the line above"
        !git clone -q {{address}} /content/tdt4265-course
    %pip install -q -e /content/tdt4265-course
    sys.path.insert(0, "/content/tdt4265-course")
    # What a run writes is gone with Colab's machine: mount Google Drive, and give an output_dir
    # under /content/drive/MyDrive, to keep it and to go on with it."""
