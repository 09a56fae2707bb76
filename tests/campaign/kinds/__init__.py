"""The kinds of bad input that a campaign tries."""

from tests.campaign.kinds.checkpoints import Checkpoints
from tests.campaign.kinds.configs import Configs
from tests.campaign.kinds.disks import FullDisk, NoRight
from tests.campaign.kinds.kills import KilledTraining, KilledWriter
from tests.campaign.kinds.records import Records
from tests.campaign.kinds.replies import Replies
from tests.campaign.kinds.run_folders import RunFolders
from tests.campaign.kinds.videos import Videos

KINDS = (
    Videos(),
    Records(),
    Configs(),
    Replies(),
    Checkpoints(),
    RunFolders(),
    FullDisk(),
    NoRight(),
    KilledWriter(),
    KilledTraining(),
)
