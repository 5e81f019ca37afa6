"""What the daemon does at intervals, beside its rounds."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from daemon.classify.pipelines import Pipelines
from daemon.database.queue import Queue
from daemon.home.clock import now
from daemon.home.folder import Home, Lock
from daemon.home.left_alone import LeftAlone
from daemon.home.settings import Settings
from daemon.inbox.empty_folders import EmptyFolders
from daemon.labels.removal import Removal
from daemon.maintenance.backup import Backups
from daemon.maintenance.cleaning import Cleaning
from daemon.maintenance.retention import Retention
from daemon.notify.trouble import TroubleWatch
from daemon.service.membership import Membership, notices_of_all
from daemon.service.schedule import Schedule
from daemon.service.trouble import LockWatch, as_job
from daemon.training.retraining import Retraining

TENDING = timedelta(seconds=2)
RETRAINING = timedelta(seconds=0.5)  # a training is followed so closely, and takes few queries
RENEWAL = timedelta(minutes=1)
SHARED_RENEWAL = timedelta(seconds=15)  # four times within a lease
TRIMMING = timedelta(minutes=10)
EMPTY_FOLDERS = timedelta(seconds=30)
BACKUP_CHECK = timedelta(minutes=1)
RETENTION = timedelta(hours=6)
CLEANING = timedelta(minutes=5)  # it visits the files every hour, if not much is to go
FIRST_CLEANING = timedelta(minutes=1)  # a daemon that is started each day must come to it
TROUBLE = timedelta(seconds=15)
# A slow disk takes so long for a database of many gigabytes, or for looking at millions of files.
LONGEST_CARE = timedelta(hours=2)


def schedule_work(
    schedule: Schedule,
    home: Home,
    lock: Lock,
    lock_watch: LockWatch,
    queue: Queue,
    trim_cache: Callable[[], None],
    membership: Membership | None,
) -> None:
    """Schedule what belongs to the work itself.

    Args:
        schedule: Gets the jobs.
        home: The home.
        lock: Shows the notice about the inbox.
        lock_watch: Shows that another program has locked the database.
        queue: Its leases are renewed.
        trim_cache: Keeps the cache within its limit.
        membership: Renews them, and gives signs of life, if other daemons share the database.
    """
    schedule.every(TENDING, as_job(lock_watch.tend), subject="looking whether the database is free")
    renew = membership.tend if membership else queue.renew_leases
    interval = SHARED_RENEWAL if membership else RENEWAL
    schedule.every(interval, as_job(renew), subject="renewing leases")
    schedule.every(
        TENDING,
        lambda: lock.note("inbox", home.why_no_inbox()),
        subject="looking whether the inbox is there",
    )
    schedule.every(TRIMMING, trim_cache, subject="trimming the cache", longest=LONGEST_CARE)


def schedule_following(
    schedule: Schedule, home: Home, lock: Lock, queue: Queue, pipeline: Pipelines
) -> None:
    """Schedule what only the daemon that leads does for the work.

    Args:
        schedule: Gets the jobs.
        home: The home.
        lock: Has the notices.
        queue: Has the database.
        pipeline: Gives up files that stayed away.
    """
    schedule.every(TENDING, as_job(pipeline.settle_missing), subject="giving vanished files up")
    notices = partial(notices_of_all, queue.engine, lock)
    trouble = TroubleWatch(queue.engine, notices, home.trouble)
    schedule.every(TROUBLE, as_job(trouble.tend), subject="telling of trouble")


def schedule_care(
    schedule: Schedule,
    home: Home,
    settings: Settings,
    lock: Lock,
    queue: Queue,
    retraining: Retraining,
    progress: Callable[[], None],
) -> None:
    """Schedule what a daemon that runs for years does besides.

    Args:
        schedule: Gets the jobs.
        home: The home.
        settings: Its settings.
        lock: Shows their notices.
        queue: Has the database.
        retraining: Trains when it is time to.
        progress: Called during long work. An exception from it ends the work.
    """
    backups = Backups(home, settings, partial(lock.note, "backup"), progress)
    note = partial(lock.note, "retention")
    retention = Retention(home, queue.engine, settings, backups.make, note, progress)
    grace = 2 * timedelta(seconds=settings.rescan_seconds + settings.settle_seconds)
    removal = Removal(queue.engine, settings.folders(home.root), grace, lock.note, progress)
    cleaning = Cleaning(home, queue.engine, settings, partial(lock.note, "trash"), progress)

    def tend_trash(at: datetime) -> None:
        lock.note("remove", cleaning.unknown_classes())
        cleaning.tend(at)

    if settings.empty_folder_minutes:
        empty_folders = EmptyFolders(
            home.inbox, settings.empty_folder_minutes, progress, LeftAlone(settings.ignore)
        )
        schedule.every(
            EMPTY_FOLDERS,
            as_job(empty_folders.tend),
            subject="removing empty folders",
            longest=LONGEST_CARE,
        )
    schedule.every(TENDING, as_job(removal.tend), subject="looking for removed clips")
    schedule.every(RETRAINING, as_job(retraining.tend), subject="retraining")
    schedule.every(
        BACKUP_CHECK, as_job(backups.tend), subject="making backups", longest=LONGEST_CARE
    )
    schedule.every(
        RETENTION, as_job(retention.tend), subject="removing old rows", longest=LONGEST_CARE
    )
    schedule.every(
        CLEANING,
        as_job(tend_trash),
        subject="cleaning",
        longest=LONGEST_CARE,
        first=now() + FIRST_CLEANING,
    )
