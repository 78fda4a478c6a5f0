//! The reload route: what it tells the client of each end that a reload can have. The reload itself is tested where the
//! file is read.

use crate::support::TestApp;

const RELOAD: &str = "/config/reload";

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_that_need_a_restart_are_named() {
    let app = TestApp::start().await;
    let told = Some(Ok(vec!["sealgate.data_dir".to_owned()]));
    let answer = app.while_reloading(told, app.post(RELOAD, "")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("sealgate.data_dir"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_configuration_and_a_desk_without_a_clerk() {
    let app = TestApp::start().await;
    let problem = "config.yaml:3: model_list: a list is expected".to_owned();
    for (told, status, code, text) in [
        (Some(Err(problem)), 400, "config_rejected", "config.yaml:3"),
        (None, 503, "reload_unavailable", "cannot be reloaded now"),
    ] {
        let answer = app.while_reloading(told, app.post(RELOAD, "")).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let error = &answer.json()["error"];
        assert_eq!(error["sealgate_code"], code);
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| message.contains(text)),
            "{error}"
        );
    }
}
