//! The leader's epoch, and the promise of it: LEADERINFO in, ACKEPOCH out.
//!
//! A promise is durable before it is given; one that does not count is written with the history, or not at all.
//! Source: quorum-protocol.md §7, steps 4 and 5. Tested: promise_test.rs.

use super::*;
use crate::wire::peer::LeaderInfo;
use crate::wire::peer::payload::PROTOCOL_VERSION;

impl Learner {
    pub(super) fn on_leader_info(
        &mut self,
        packet: &QuorumPacket<'_>,
        outputs: &mut Vec<Output>,
    ) -> Result<(), PacketError> {
        let LeaderInfo { protocol_version } = packet.payload()?;
        if protocol_version < PROTOCOL_VERSION {
            let reason = format!(
                "it speaks version {protocol_version:#x} of the protocol; needed: {PROTOCOL_VERSION:#x} or later"
            );
            self.leave(&reason, outputs);
            return Ok(());
        }
        self.epoch = packet.zxid.epoch();
        let (epoch, accepted) = (self.epoch, self.epochs.accepted);
        if epoch < Epoch(0) {
            self.leave(&format!("it leads epoch {}, and {} was promised", epoch.0, accepted.0), outputs);
        } else if epoch < accepted {
            self.wait_for_another(&words::too_old(epoch, self.epochs));
        } else if epoch == accepted {
            self.promise(None);
        } else {
            self.epochs.accepted = epoch;
            if self.may_promise {
                self.step = Step::Promising;
                outputs.push(Output::PersistEpochs(self.epochs));
            } else {
                self.promise(None);
            }
        }
        Ok(())
    }

    pub(super) fn promise(&mut self, current_epoch: Option<Epoch>) {
        self.step = Step::Way;
        let last = if self.wants_snapshot { beginning(Epoch(self.epoch.0 + 1)) } else { self.logged };
        packet::encode_record(Kind::AckEpoch, last, &AckEpoch { current_epoch }, &mut self.out);
    }
}
