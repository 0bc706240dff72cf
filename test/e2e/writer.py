"""An application: a thread that commits to a database at random moments, until it is told to stop."""
import random
import sqlite3
import threading


class Writer(threading.Thread):
    """What a subclass commits is once(db), at most `pause` seconds after the last time. `error` is what
    ended it, if it was not told to stop."""

    def __init__(self, path, seed, pause):
        super().__init__()
        self.path, self.rnd, self.pause = path, random.Random(seed), pause
        self.ended = threading.Event()
        self.error, self.commits = None, 0

    def run(self):
        try:
            db = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            while not self.ended.wait(self.rnd.random() * self.pause):
                self.once(db)
            db.close()
        except sqlite3.Error as e:
            self.error = str(e)

    def move_money(self, db, accounts):
        """From one account to another, a few times: the sum of all stays."""
        for _ in range(self.rnd.randrange(1, 5)):
            much = self.rnd.randrange(10)
            for sign, who in ((-1, self.rnd.randrange(accounts)), (1, self.rnd.randrange(accounts))):
                db.execute("UPDATE account SET v = v + ? WHERE id = ?", (sign * much, who))
