//! Age, gender and expression of a face: what the networks' numbers mean.

use super::broken;
use crate::error::Result;

/// Years that the network is off in the mean, as its author measured it.
const MEAN_ERROR: f32 = 4.54;

/// What somebody may call a face's gender. It is how the face looks to the network, not who the person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gender {
    /// Looks male.
    Male,
    /// Looks female.
    Female,
}

/// Age and gender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AgeGender {
    /// Years.
    pub age: f32,
    /// The likelier one.
    pub gender: Gender,
    /// How likely, 0.5 to 1.
    pub gender_score: f32,
}

impl AgeGender {
    /// From the network's years and its two scores before softmax, of which the first is male.
    ///
    /// # Errors
    /// `Internal` when an answer has another size or holds what is not a number.
    pub fn decode(age: &[f32], gender: &[f32]) -> Result<Self> {
        let (&[age], &[_, _]) = (age, gender) else {
            return Err(broken("an answer of another size"));
        };
        let shares = softmax(gender)?;
        if !age.is_finite() {
            return Err(broken("an age that is no number"));
        }
        let male = shares[0];
        let (gender, gender_score) = if male > 0.5 {
            (Gender::Male, male)
        } else {
            (Gender::Female, 1.0 - male)
        };
        Ok(Self {
            age: age.max(0.0),
            gender,
            gender_score,
        })
    }

    /// Whole years between which the age probably is: one and a half mean errors to either side.
    pub fn range(&self) -> (u32, u32) {
        let width = 1.5 * MEAN_ERROR;
        let age = self.age.min(120.0);
        (
            (age - width).max(0.0).round() as u32,
            (age + width).round() as u32,
        )
    }
}

/// What a face expresses; Rekognition's names. It has an eighth, `CONFUSED`, which no network here knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Emotion {
    /// Nothing in particular.
    Calm,
    /// Joy.
    Happy,
    /// Sorrow.
    Sad,
    /// Anger.
    Angry,
    /// Fear.
    Fear,
    /// Disgust.
    Disgusted,
    /// Surprise.
    Surprised,
}

impl Emotion {
    /// All, in the order of the network's outputs.
    pub const ALL: [Self; 7] = [
        Self::Calm,
        Self::Happy,
        Self::Sad,
        Self::Angry,
        Self::Fear,
        Self::Disgusted,
        Self::Surprised,
    ];

    /// Rekognition's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Calm => "CALM",
            Self::Happy => "HAPPY",
            Self::Sad => "SAD",
            Self::Angry => "ANGRY",
            Self::Fear => "FEAR",
            Self::Disgusted => "DISGUSTED",
            Self::Surprised => "SURPRISED",
        }
    }
}

/// Every emotion and how likely it is, likeliest first, from the network's scores before softmax.
///
/// # Errors
/// `Internal` when the answer has another size or holds what is not a number.
pub fn emotions(scores: &[f32]) -> Result<Vec<(Emotion, f32)>> {
    if scores.len() != Emotion::ALL.len() {
        return Err(broken("an answer of another size"));
    }
    let mut emotions: Vec<_> = Emotion::ALL.into_iter().zip(softmax(scores)?).collect();
    emotions.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(emotions)
}

fn softmax(scores: &[f32]) -> Result<Vec<f32>> {
    if !scores.iter().all(|score| score.is_finite()) {
        return Err(broken("a score that is no number"));
    }
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    Ok(powers.into_iter().map(|power| power / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_score_is_male() {
        let looks = AgeGender::decode(&[32.4], &[0.0, 1.0]).unwrap();
        assert_eq!(looks.gender, Gender::Female);
        assert!((looks.gender_score - 0.731).abs() < 1e-3);
        assert_eq!(looks.range(), (26, 39));
        let looks = AgeGender::decode(&[-3.0], &[9.0, -9.0]).unwrap();
        assert_eq!((looks.gender, looks.range()), (Gender::Male, (0, 7)));
        assert_eq!(
            AgeGender::decode(&[1e9], &[0.0, 0.0]).unwrap().range(),
            (113, 127)
        );
        assert!(AgeGender::decode(&[f32::NAN], &[0.0, 0.0]).is_err());
        assert!(AgeGender::decode(&[1.0], &[f32::INFINITY, 0.0]).is_err());
        assert!(AgeGender::decode(&[1.0, 2.0], &[0.0, 0.0]).is_err());
    }

    #[test]
    fn emotions_add_up_and_are_sorted() {
        let found = emotions(&[0.0, 3.0, 1.0, -1.0, -1000.0, 0.5, 2.0]).unwrap();
        let names: Vec<_> = found.iter().map(|(emotion, _)| emotion.name()).collect();
        assert_eq!(names[..3], ["HAPPY", "SURPRISED", "SAD"]);
        assert!((found.iter().map(|(_, p)| p).sum::<f32>() - 1.0).abs() < 1e-6);
        assert!(emotions(&[0.0; 6]).is_err() && emotions(&[f32::NAN; 7]).is_err());
    }
}
