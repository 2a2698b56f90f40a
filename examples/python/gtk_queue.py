# SPDX-License-Identifier: MIT
"""A window shows what another process puts into a queue.

GTK's main loop watches the queue's descriptor, as it would a socket: no thread, no timer that asks again and
again. Needs PyGObject with GTK 3 (Debian: python3-gi, gir1.2-gtk-3.0) and a display.
"""

import sys

import tutti

COUNT, LIMIT = 100, 20  # messages; s that all of it may take


def work(progress):
    for number in range(1, COUNT + 1):
        progress.put(f"{number} of {COUNT} done")
    progress.shutdown()


class Window:
    def __init__(self, progress):
        self.progress, self.received, self.shown = progress, 0, None
        self.label = Gtk.Label(label="nothing yet")
        self.window = Gtk.Window(title="progress")
        self.window.add(self.label)
        self.window.connect("destroy", Gtk.main_quit)
        self.window.show_all()
        self.window.get_frame_clock().connect("after-paint", self.on_painted)
        GLib.unix_fd_add_full(GLib.PRIORITY_DEFAULT, progress.fileno(), GLib.IOCondition.IN, self.on_messages)

    def on_messages(self, _descriptor, _condition):
        """Something is in the queue: takes all of it. True: goes on watching."""
        try:
            while True:
                self.label.set_text(self.progress.get_nowait())
                self.received += 1
        except queues.Empty:
            return True
        except tutti.ShutDown:
            self.label.set_markup("<b>finished</b>")
            return False

    def on_painted(self, _clock):
        """This can be seen from now on."""
        self.shown = self.label.get_text()
        if self.shown == "finished":
            GLib.idle_add(self.window.destroy)


if __name__ == "__main__":
    progress = tutti.Queue()
    worker = tutti.Process(target=work, args=(progress,))
    worker.start()

    # Only now: a forked child must not share the connection to the display.
    import gi

    gi.require_version("Gtk", "3.0")
    from gi.repository import GLib, Gtk

    from tutti import queues

    window = Window(progress)
    GLib.timeout_add_seconds(LIMIT, Gtk.main_quit)
    Gtk.main()
    worker.join()
    if window.shown != "finished":
        sys.exit(f"the window shows {window.shown!r} after {LIMIT} s")
    print(f"{window.received} messages; shown in the end:", window.shown)
