//! What a caller hears besides the other party.

/// A wait tone while a phone rings, and one prompt for every refusal, in a language. The prompt says that the number cannot be
/// reached and not why. A stranger who dials, a party whose number has ended and a callee who is busy hear the same.
///
/// Whoever hears a prompt pays for a call. Without audio a refusal is a signal, and the caller's network plays what it plays.
///
/// ```
/// use unjoin_phone::gateway::Audio;
/// assert_eq!(Audio::of("en").unwrap().words(), "This number cannot be reached.");
/// assert!(Audio::of("tlh").is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audio(&'static Line);

/// Language; Twilio's name of it and of the country whose tone is played; FreeSWITCH's tone; the prompt.
type Line = [&'static str; 5];

/// The tones are those of ITU-T E.180 for a country where the language is spoken.
const TABLE: [Line; 6] = [
    ["de", "de-DE", "de", "%(1000,4000,425)", "Diese Nummer ist nicht erreichbar."],
    ["en", "en-GB", "uk", "%(400,200,400,450);%(400,2000,400,450)", "This number cannot be reached."],
    ["es", "es-MX", "mx", "%(1000,4000,425)", "No es posible comunicarse con este número."],
    ["it", "it-IT", "it", "%(1000,4000,425)", "Questo numero non è raggiungibile."],
    ["pt", "pt-BR", "br", "%(1000,4000,425)", "Este número não pode ser contatado."],
    ["zh", "cmn-CN", "cn", "%(1000,4000,450)", "您拨打的号码暂时无法接通。"],
];

impl Audio {
    /// That of a language: `de`, `en`, `es`, `it`, `pt` or `zh`.
    pub fn of(language: &str) -> Option<Self> {
        TABLE.iter().find(|[code, ..]| *code == language).map(Self)
    }

    /// The prompt's words. FreeSWITCH plays a file [`Audio::file`] among its sounds, which the host makes of them with a speech
    /// synthesis; Twilio speaks them itself.
    pub fn words(&self) -> &'static str {
        let [.., words] = self.0;
        words
    }

    /// The name of the prompt's file: `unjoin-refused.LANGUAGE.wav`.
    pub fn file(&self) -> String {
        let [language, ..] = self.0;
        format!("unjoin-refused.{language}.wav")
    }

    pub(super) fn twilio_language(&self) -> &'static str {
        let [_, language, ..] = self.0;
        language
    }

    pub(super) fn twilio_tone(&self) -> &'static str {
        let [_, _, tone, ..] = self.0;
        tone
    }

    pub(super) fn freeswitch_tone(&self) -> &'static str {
        let [_, _, _, tone, _] = self.0;
        tone
    }
}
