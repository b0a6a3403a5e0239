//! What no single setting can show: whether those that are fine alone are so together.

use super::units::Size;
use super::{Config, Error, TASKS};

/// Most of anything that a collection can be allowed to hold: its journal numbers things in 32 bits, those that were
/// deleted included.
const MOST_KEPT: usize = 1_000_000_000;

impl Config {
    /// Checks what no single value can show.
    ///
    /// # Errors
    /// The first contradiction, with the names of the keys.
    pub fn check(&self) -> Result<(), Error> {
        let (limits, kept) = (&self.limits, &self.collections);
        // Base64 in JSON takes four bytes for three.
        let encoded = limits.image.get().div_ceil(3) * 4;
        let rules: [(bool, String); 21] = [
            (
                self.engine.threads <= 1024,
                "`engine.threads` must be at most 1024".to_owned(),
            ),
            (
                self.engine.lanes <= 64,
                "`engine.lanes` must be at most 64".to_owned(),
            ),
            (
                limits.body.get() >= encoded.max(limits.text.get()).max(limits.rest_text.get()),
                format!(
                    "`limits.body` ({}) is smaller than what `limits.image` ({}, {} in base64), `limits.text` ({}) and `limits.rest_text` ({}) allow",
                    limits.body,
                    limits.image,
                    Size::bytes(encoded),
                    limits.text,
                    limits.rest_text
                ),
            ),
            (
                limits.buffered.get() >= limits.body.get(),
                format!(
                    "`limits.buffered` ({}) is smaller than `limits.body` ({})",
                    limits.buffered, limits.body
                ),
            ),
            (
                limits.text.get() >= 1 && limits.rest_text.get() >= 1,
                "`limits.text` and `limits.rest_text` must be at least 1 byte".to_owned(),
            ),
            (
                (1..=crate::rest::list::MOST).contains(&limits.texts),
                format!(
                    "`limits.texts` must be between 1 and {}",
                    crate::rest::list::MOST
                ),
            ),
            (
                limits.image_pixels >= 1 && limits.image_side >= 1,
                "`limits.image_pixels` and `limits.image_side` must be at least 1".to_owned(),
            ),
            (
                limits.connections >= 1,
                "`limits.connections` must be at least 1".to_owned(),
            ),
            (
                [limits.deadline, limits.body_pause, limits.idle]
                    .iter()
                    .all(|span| !span.get().is_zero()),
                "`limits.deadline`, `limits.body_pause` and `limits.idle` must be longer than 0s"
                    .to_owned(),
            ),
            (
                limits.body_pause.get() <= limits.deadline.get(),
                format!(
                    "`limits.body_pause` ({}) is longer than `limits.deadline` ({})",
                    limits.body_pause, limits.deadline
                ),
            ),
            (
                [kept.collections, kept.faces, kept.users, kept.faces_of_user]
                    .iter()
                    .all(|most| (1..=MOST_KEPT).contains(most)),
                format!(
                    "`collections.collections`, `collections.faces`, `collections.users` and `collections.faces_of_user` must be between 1 and {MOST_KEPT}"
                ),
            ),
            (
                (1..=1000).contains(&self.jobs.running)
                    && (1..=1000).contains(&self.jobs.tasks)
                    && self.jobs.live > 0
                    && self.jobs.task_bytes.get() > 0
                    && self.jobs.task_documents > 0
                    && !self.jobs.retention.get().is_zero(),
                "`jobs.running` and `jobs.tasks` must be between 1 and 1000, `jobs.live`, `jobs.task_bytes`, `jobs.task_documents` and `jobs.retention` more than 0"
                    .to_owned(),
            ),
            (
                self.aws.account.len() == 12 && self.aws.account.bytes().all(|one| one.is_ascii_digit()),
                format!("`aws.account` is not twelve digits: `{}`", self.aws.account),
            ),
            (
                self.sagemaker.training_threads <= 1000 && self.sagemaker.memory.get() > 0,
                "`sagemaker.training_threads` must be at most 1000, `sagemaker.memory` more than 0".to_owned(),
            ),
            (
                (1..=10_000).contains(&self.kafka.partitions),
                "`kafka.partitions` must be between 1 and 10000".to_owned(),
            ),
            (
                self.kafka.advertised.is_none() || self.kafka.advertised().is_some(),
                "`kafka.advertised` must be `host:port`".to_owned(),
            ),
            (
                self.kafka.topic_settings().is_some(),
                "`kafka.topic_defaults` must have settings of topics, as `retention.ms=86400000`"
                    .to_owned(),
            ),
            (
                self.kafka.connections >= 1 && self.kafka.group_members >= 1,
                "`kafka.connections` and `kafka.group_members` must be at least 1".to_owned(),
            ),
            (
                self.kafka.group_shortest_session.get() <= self.kafka.group_longest_session.get(),
                "`kafka.group_shortest_session` must not be longer than `kafka.group_longest_session`"
                    .to_owned(),
            ),
            (
                !self.kafka.offsets_retention.get().is_zero(),
                "`kafka.offsets_retention` must be longer than 0s".to_owned(),
            ),
            (
                !self.kafka.transactional_id_expiration.get().is_zero(),
                "`kafka.transactional_id_expiration` must be longer than 0s".to_owned(),
            ),
        ];
        if let Some((_, message)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(Error::Conflict(message));
        }
        if let Err(why) = crate::logs::directives(&self.log.level) {
            return Err(Error::Conflict(format!(
                "`log.level` is not a level or a list of directives: {why}"
            )));
        }
        if let Some(task) = self
            .models
            .preload
            .iter()
            .find(|task| !TASKS.contains(&task.as_str()))
        {
            return Err(Error::Conflict(format!(
                "`models.preload` names `{task}`, which is not a task: use {}",
                TASKS.join(", ")
            )));
        }
        if let Err(why) = self.objects.check() {
            return Err(Error::Conflict(format!("`objects.remote`: {why}")));
        }
        let preloads = |task: &str| self.models.preload.iter().any(|name| name == task);
        if preloads("classify") && self.checkpoints.classify.is_none() {
            return Err(Error::Conflict(
                "`models.preload` names `classify`, but `checkpoints.classify` names no classifier"
                    .to_owned(),
            ));
        }
        if preloads("image-classes") && self.checkpoints.image_classes.is_none() {
            return Err(Error::Conflict(
                "`models.preload` names `image-classes`, but `checkpoints.image_classes` names no classifier".to_owned(),
            ));
        }
        if preloads("covers") && self.checkpoints.covers.is_none() {
            return Err(Error::Conflict(
                "`models.preload` names `covers`, but `checkpoints.covers` names no detector"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RemoteBucket;

    #[test]
    fn the_defaults_hold_together() {
        Config::default().check().expect("defaults");
    }

    #[test]
    fn contradictions_name_their_keys() {
        let mut config = Config::default();
        config.limits.body = Size::mib(1);
        let message = config.check().expect_err("body too small").to_string();
        assert!(
            message.contains("`limits.body`") && message.contains("`limits.image`"),
            "{message}"
        );

        let mut config = Config::default();
        config.models.preload = vec!["moods".to_owned()];
        let message = config.check().expect_err("no such task").to_string();
        assert!(
            message.contains("`models.preload`") && message.contains("moods"),
            "{message}"
        );

        let mut config = Config::default();
        let bucket = RemoteBucket::default();
        config.objects.remote.insert("photos".to_owned(), bucket);
        let message = config.check().expect_err("no address").to_string();
        assert!(message.contains("`objects.remote`"), "{message}");

        let mut config = Config::default();
        config.collections.faces_of_user = 0;
        let message = config.check().expect_err("no faces").to_string();
        assert!(message.contains("`collections.faces_of_user`"), "{message}");

        let mut config = Config::default();
        config.log.level = "loud=very".to_owned();
        assert!(
            config
                .check()
                .expect_err("level")
                .to_string()
                .contains("log.level")
        );
    }
}
